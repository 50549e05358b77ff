"""Who runs jobs: this process (`local`), or one behind a wire."""
