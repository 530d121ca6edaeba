"""What runs a call: tasks, timers and buffers around the pure core in `gateway/call`."""
