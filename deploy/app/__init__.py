"""A proven file inside an Android app: the assets that go with it."""
