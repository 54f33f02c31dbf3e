"""People read a candidate's answers: a page on this machine alone, and the file of what they say."""
