package android.graphics;

/** Android's own, as much of it as the sample app uses: to compile against, never run. */
public class Canvas {
    public Canvas(Bitmap bitmap) {}

    public native void drawRect(float left, float top, float right, float bottom, Paint paint);

    public native void drawText(String text, float x, float y, Paint paint);
}
