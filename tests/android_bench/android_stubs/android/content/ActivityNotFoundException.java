package android.content;

/** Android's own, as much of it as the sample app uses: to compile against, never run. */
public class ActivityNotFoundException extends RuntimeException {
    private static final long serialVersionUID = 1;
}
