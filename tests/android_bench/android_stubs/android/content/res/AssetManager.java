package android.content.res;

import java.io.IOException;
import java.io.InputStream;

/** Android's own, as much of it as the sample app uses: to compile against, never run. */
public final class AssetManager {
    private AssetManager() {}

    public native InputStream open(String fileName) throws IOException;

    public native String[] list(String path) throws IOException;
}
