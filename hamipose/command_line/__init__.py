"""What the command lines of both packages share: parsing, help, errors, Lightning's CLI."""
