package android.widget;

import android.content.Context;
import android.view.ViewGroup;

/** Android's own, as much of it as the sample app uses: to compile against, never run. */
public class ScrollView extends ViewGroup {
    public ScrollView(Context context) {}
}
