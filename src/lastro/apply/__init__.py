"""The only code in the product that changes a destination: compare-and-swap, with an intent file, verified."""
