"""Recovery: from any damaged state to a verified lake."""
