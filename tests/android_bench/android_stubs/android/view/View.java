package android.view;

/** Android's own, as much of it as the sample app uses: to compile against, never run. */
public class View {
    /** Is told of a tap. */
    public interface OnClickListener {
        void onClick(View view);
    }

    public native void setOnClickListener(OnClickListener listener);
}
