"""One page that tells the story of a run to a person who was not there."""
