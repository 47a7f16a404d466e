"""What is known of each item: its fields, what filters ask of them, what behaviour taught."""
