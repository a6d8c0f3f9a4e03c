package android.content.res;

import java.io.IOException;
import java.io.InputStream;

/** Android's own, as much of it as is used here: to compile against, never packed. */
public abstract class AssetManager {
    public abstract InputStream open(String fileName) throws IOException;
}
