"""What every face that people read says the same way: names, sizes, times, states, risks."""
