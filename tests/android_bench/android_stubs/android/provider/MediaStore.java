package android.provider;

/** Android's own, as much of it as the sample app uses: to compile against, never run. */
public final class MediaStore {
    public static final String ACTION_IMAGE_CAPTURE = "android.media.action.IMAGE_CAPTURE";
}
