"""Files, local and in object stores: written durably, named by their content, reached by location."""
