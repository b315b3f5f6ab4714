"""The nouns of Lastro and pure functions over them. No input or output happens here, and nothing changes once made."""
