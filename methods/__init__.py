"""Style-transfer methods, one file each; a leading underscore marks a helper."""
