package android.app;

import android.content.Context;
import android.content.Intent;
import android.os.Bundle;
import android.view.View;

/** Android's own, as much of it as the sample app uses: to compile against, never run. */
public class Activity extends Context {
    public static final int RESULT_OK = -1;

    protected native void onCreate(Bundle state);

    protected native void onDestroy();

    protected native void onActivityResult(int request, int result, Intent data);

    public native void setContentView(View view);

    public native void startActivityForResult(Intent intent, int request);

    public final native void runOnUiThread(Runnable action);
}
