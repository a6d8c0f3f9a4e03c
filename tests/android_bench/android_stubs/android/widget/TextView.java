package android.widget;

import android.content.Context;
import android.view.View;

/** Android's own, as much of it as the sample app uses: to compile against, never run. */
public class TextView extends View {
    public TextView(Context context) {}

    public final native void setText(CharSequence text);
}
