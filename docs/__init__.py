"""The pages of the site; `docs.numbers` writes what was measured into them."""
