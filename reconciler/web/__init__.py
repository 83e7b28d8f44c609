"""The pages and the JSON that people and programs read about a fleet."""
