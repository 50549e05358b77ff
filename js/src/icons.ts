/** Icons as paths in a square of 16 units. */
export const STOP = "M4 4h8v8H4z";
export const RESTART =
  "M8 3a5 5 0 1 0 4.9 6h-1.6A3.5 3.5 0 1 1 10.6 5.4L8.5 7.5H13V3l-1.4 1.4A5 5 0 0 0 8 3z";
export const TERMINAL = "M2 3h12v10H2zm1.5 1.5v7h9v-7zM5 6l2.3 2L5 10V8.6L5.7 8 5 7.4zm3 3.2h3v1H8z";
export const COPY = "M5 2h8v9h-2v2H3V5h2zm1.5 1.5v6h5v-6zM4.5 6.5v5h5V11H5V6.5z";
export const SAVE = "M7.2 2h1.6v6.2l2.4-2.4 1.1 1.1L8 11.2 3.7 6.9l1.1-1.1 2.4 2.4zM3 12.4h10V14H3z";
export const BELL = "M8 2a4 4 0 0 0-4 4v3l-1 2v.8h10V11l-1-2V6a4 4 0 0 0-4-4zm-1.5 10.8a1.5 1.5 0 0 0 3 0z";
export const FORGET = "M6 2h4v1h3v1.5H3V3h3zM4 5.5h8V14H4zm2 1.5v5h1V7zm3 0v5h1V7z";
