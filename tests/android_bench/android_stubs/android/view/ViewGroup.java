package android.view;

/** Android's own, as much of it as the sample app uses: to compile against, never run. */
public abstract class ViewGroup extends View {
    public native void addView(View view);
}
