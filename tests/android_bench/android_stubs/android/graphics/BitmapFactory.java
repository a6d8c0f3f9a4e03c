package android.graphics;

import java.io.InputStream;

/** Android's own, as much of it as the sample app uses: to compile against, never run. */
public class BitmapFactory {
    /** How a picture is decoded, and what is found on the way. */
    public static class Options {
        public boolean inJustDecodeBounds;
        public int inSampleSize;
        public int outWidth;
        public int outHeight;
    }

    public static native Bitmap decodeStream(InputStream stream);

    public static native Bitmap decodeStream(InputStream stream, Rect padding, Options options);
}
