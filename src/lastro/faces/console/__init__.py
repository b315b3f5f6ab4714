"""The console: pages made by the keeper, for people in a browser (``docs/console.md``)."""
