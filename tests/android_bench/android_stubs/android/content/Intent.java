package android.content;

import android.net.Uri;
import android.os.Bundle;

/** Android's own, as much of it as the sample app uses: to compile against, never run. */
public class Intent {
    public static final String ACTION_GET_CONTENT = "android.intent.action.GET_CONTENT";

    public Intent(String action) {}

    public native Intent setType(String type);

    public native Uri getData();

    public native Bundle getExtras();
}
