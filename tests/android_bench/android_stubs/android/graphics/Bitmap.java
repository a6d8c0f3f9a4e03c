package android.graphics;

/** Android's own, as much of it as the sample app uses: to compile against, never run. */
public final class Bitmap {
    /** How pixels are stored. */
    public enum Config {
        ALPHA_8,
        RGB_565,
        ARGB_4444,
        ARGB_8888,
        RGBA_F16,
        HARDWARE
    }

    private Bitmap() {}

    public static native Bitmap createBitmap(int[] colors, int width, int height, Config config);

    public static native Bitmap createBitmap(
            Bitmap source, int x, int y, int width, int height, Matrix matrix, boolean filter);

    public native Bitmap copy(Config config, boolean isMutable);

    public native int getWidth();

    public native int getHeight();
}
