"""The published contract: manifest models and the JSON Schemas made from them."""
