"""The tones of items, such as light, sad or scary: by an attribute, or by the words of a text."""
