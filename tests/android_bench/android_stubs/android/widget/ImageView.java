package android.widget;

import android.content.Context;
import android.graphics.Bitmap;
import android.view.View;

/** Android's own, as much of it as the sample app uses: to compile against, never run. */
public class ImageView extends View {
    public ImageView(Context context) {}

    public native void setAdjustViewBounds(boolean adjust);

    public native void setImageBitmap(Bitmap bitmap);
}
