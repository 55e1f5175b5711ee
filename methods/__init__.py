"""Style-transfer methods, one file each. Modules with a leading underscore contain shared code."""
