package android.net;

/** Android's own, as much of it as the sample app uses: to compile against, never run. */
public abstract class Uri {}
