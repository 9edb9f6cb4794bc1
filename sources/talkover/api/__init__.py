"""The Talkover API: one GET, the pages of a listing, the proof that it is whole, and the meaning of its fields."""
