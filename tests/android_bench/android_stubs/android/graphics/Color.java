package android.graphics;

/** Android's own, as much of it as the sample app uses: to compile against, never run. */
public class Color {
    public static native int HSVToColor(float[] hsv);
}
