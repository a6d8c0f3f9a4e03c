package android.widget;

import android.content.Context;

/** Android's own, as much of it as the sample app uses: to compile against, never run. */
public class Button extends TextView {
    public Button(Context context) {
        super(context);
    }
}
