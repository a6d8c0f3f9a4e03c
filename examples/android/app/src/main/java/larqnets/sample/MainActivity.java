package larqnets.sample;

import android.app.Activity;
import android.content.ActivityNotFoundException;
import android.content.Intent;
import android.graphics.Bitmap;
import android.os.Bundle;
import android.provider.MediaStore;
import android.widget.Button;
import android.widget.ImageView;
import android.widget.LinearLayout;
import android.widget.ScrollView;
import android.widget.TextView;
import java.io.IOException;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/** Shows networks of larqnets at work: pick or take a picture, and see what they answer and how long that took. */
public final class MainActivity extends Activity {
    private static final int PICK = 1;
    private static final int TAKE = 2;

    /** Decodes pictures and runs networks: the screen must not wait for them. */
    private final ExecutorService worker = Executors.newSingleThreadExecutor();

    private List<String> names = Collections.emptyList();
    private int chosen;
    private Button choice;
    private ImageView shown;
    private TextView told;

    // These two are the worker's alone.
    private Network network;
    private Bitmap picture;

    @Override
    protected void onCreate(Bundle state) {
        super.onCreate(state);
        choice = button("", this::next);
        shown = new ImageView(this);
        shown.setAdjustViewBounds(true);
        told = new TextView(this);
        LinearLayout column = new LinearLayout(this);
        column.setOrientation(LinearLayout.VERTICAL);
        column.addView(choice);
        column.addView(button("Pick a picture", this::pick));
        column.addView(button("Take a picture", this::take));
        column.addView(told);
        column.addView(shown);
        ScrollView whole = new ScrollView(this);
        whole.addView(column);
        setContentView(whole);
        try {
            names = Network.names(getAssets());
        } catch (IOException error) {
            told.setText(error.getMessage());
        }
        if (names.isEmpty()) {
            choice.setText("There is no network among the assets: larqnets convert RUN --app app/src/main/assets");
        } else {
            open();
        }
    }

    @Override
    protected void onDestroy() {
        worker.execute(this::closeNetwork);
        worker.shutdown();
        super.onDestroy();
    }

    @Override
    protected void onActivityResult(int request, int result, Intent data) {
        if (result != RESULT_OK || data == null) {
            return; // somebody went back
        }
        if (request == PICK && data.getData() != null) {
            look(() -> Pictures.read(getContentResolver(), data.getData()));
        } else if (request == TAKE && data.getExtras() != null) {
            look(() -> (Bitmap) data.getExtras().get("data")); // a small one: a large one needs a file to be written to
        }
    }

    private Button button(String text, Runnable action) {
        Button made = new Button(this);
        made.setText(text);
        made.setOnClickListener(view -> action.run());
        return made;
    }

    private void pick() {
        start(new Intent(Intent.ACTION_GET_CONTENT).setType("image/*"), PICK);
    }

    private void take() {
        start(new Intent(MediaStore.ACTION_IMAGE_CAPTURE), TAKE);
    }

    private void start(Intent intent, int request) {
        try {
            startActivityForResult(intent, request);
        } catch (ActivityNotFoundException error) {
            told.setText("No app of this phone does that.");
        }
    }

    /** Takes the next network, for the picture that is shown. */
    private void next() {
        if (names.size() > 1) {
            chosen = (chosen + 1) % names.size();
            open();
        }
    }

    private void open() {
        String name = names.get(chosen);
        choice.setText(names.size() > 1 ? name + " (tap for the next network)" : name);
        look(
                () -> {
                    closeNetwork();
                    network = Network.open(getAssets(), name);
                    return picture;
                });
    }

    private void closeNetwork() {
        if (network != null) {
            network.close();
            network = null;
        }
    }

    /** Has the worker get a picture, look at it, and show what the network says or what went wrong. */
    private void look(Callable<Bitmap> source) {
        worker.execute(
                () -> {
                    try {
                        picture = source.call();
                        if (picture != null && network != null) {
                            Network.Looked looked = network.look(picture);
                            runOnUiThread(() -> show(looked));
                        }
                    } catch (Exception error) { // the sentence of the API, or what Android says of a picture
                        runOnUiThread(() -> told.setText(String.valueOf(error.getMessage())));
                    }
                });
    }

    private void show(Network.Looked looked) {
        told.setText(looked.text);
        shown.setImageBitmap(looked.picture);
    }
}
