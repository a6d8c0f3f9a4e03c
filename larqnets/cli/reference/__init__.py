"""The pages of docs/reference, made of what the code itself goes by: `make reference`. Every page is the same on every machine."""
