package android.content;

import android.content.res.AssetManager;

/** Android's own, as much of it as the sample app uses: to compile against, never run. */
public abstract class Context {
    public native AssetManager getAssets();

    public native ContentResolver getContentResolver();
}
