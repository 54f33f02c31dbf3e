"""A judged candidate → a package, its card, statements and signature, and a commit with a tag."""
