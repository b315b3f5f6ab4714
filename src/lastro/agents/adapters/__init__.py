"""One small file per coding tool: how it is started, and nothing of safety."""
