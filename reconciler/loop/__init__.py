"""One pass, the queue that orders passes, the schedule that asks for them, and their memory."""
