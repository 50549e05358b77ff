import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import "./page.ts";
import { Notices } from "../src/notices.ts";

const shown: { title: string; options: { body: string; tag: string } }[] = [];

function browserThat(permission: NotificationPermission, answer: NotificationPermission = "granted"): void {
  class Notification {
    static permission = permission;
    static async requestPermission() {
      Notification.permission = answer;
      return answer;
    }
    constructor(title: string, options: { body: string; tag: string }) {
      shown.push({ title, options });
    }
  }
  Object.assign(globalThis, { Notification });
}

afterEach(() => {
  shown.length = 0;
  Reflect.deleteProperty(globalThis, "Notification");
});

const NOTICE = { title: "train", text: "exit 2" };

test("a notice is shown where the browser may, one for all pages of a job", () => {
  browserThat("granted");
  const notices = new Notices();
  notices.wanted = true;
  assert.equal(notices.root.hidden, true);
  assert.equal(notices.show(NOTICE, "7"), true);
  assert.deepEqual(shown, [{ title: "train", options: { body: "exit 2", tag: "ipyproc-7" } }]);
});

test("the permission is asked for by a button, and only where a notice will come", async () => {
  browserThat("default");
  const notices = new Notices();
  assert.equal(notices.root.hidden, true);
  notices.wanted = true;
  assert.equal(notices.root.hidden, false);
  assert.equal(notices.show(NOTICE, "7"), false);
  notices.root.click();
  await new Promise((done) => setImmediate(done));
  assert.equal(notices.root.hidden, true);
  assert.equal(notices.show(NOTICE, "7"), true);
});

test("where there are no notices the view has to say it", () => {
  const notices = new Notices();
  notices.wanted = true;
  assert.equal(notices.root.hidden, true);
  assert.equal(notices.show(NOTICE, "7"), false);
  browserThat("denied");
  assert.equal(notices.show(NOTICE, "7"), false);
});
