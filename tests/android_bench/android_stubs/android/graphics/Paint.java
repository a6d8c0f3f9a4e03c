package android.graphics;

/** Android's own, as much of it as the sample app uses: to compile against, never run. */
public class Paint {
    /** Whether an outline is drawn or an area. */
    public enum Style {
        FILL,
        STROKE,
        FILL_AND_STROKE
    }

    public native void setStyle(Style style);

    public native void setStrokeWidth(float width);

    public native void setColor(int color);

    public native void setTextSize(float size);
}
