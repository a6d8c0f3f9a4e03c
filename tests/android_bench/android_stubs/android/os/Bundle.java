package android.os;

/** Android's own, as much of it as the sample app uses: to compile against, never run. */
public final class Bundle {
    public native Object get(String key);
}
