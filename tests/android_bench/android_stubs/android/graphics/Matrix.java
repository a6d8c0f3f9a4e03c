package android.graphics;

/** Android's own, as much of it as the sample app uses: to compile against, never run. */
public class Matrix {
    public native boolean postRotate(float degrees);

    public native boolean postScale(float x, float y);
}
