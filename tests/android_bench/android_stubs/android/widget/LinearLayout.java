package android.widget;

import android.content.Context;
import android.view.ViewGroup;

/** Android's own, as much of it as the sample app uses: to compile against, never run. */
public class LinearLayout extends ViewGroup {
    public static final int VERTICAL = 1;

    public LinearLayout(Context context) {}

    public native void setOrientation(int orientation);
}
