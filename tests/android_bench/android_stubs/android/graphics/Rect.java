package android.graphics;

/** Android's own, as much of it as the sample app uses: to compile against, never run. */
public final class Rect {}
