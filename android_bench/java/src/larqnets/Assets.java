package larqnets;

import android.content.res.AssetManager;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.Reader;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;

/** A model, and what `larqnets convert --app` wrote beside it, from an app's assets. */
public final class Assets {
    private final ByteBuffer model;
    private final Metadata metadata;

    private Assets(ByteBuffer model, Metadata metadata) {
        this.model = model;
        this.metadata = metadata;
    }

    /**
     * Reads NAME.tflite, NAME.properties and NAME.labels.txt.
     *
     * @param assets those of the app, Context.getAssets()
     * @param name NAME, with the folder in front of it where they are in one
     * @throws IOException when one is not there or cannot be read
     * @throws IllegalArgumentException when the metadata are nonsense
     */
    public static Assets open(AssetManager assets, String name) throws IOException {
        try (Reader properties = reader(assets, name + ".properties");
                Reader labels = reader(assets, name + ".labels.txt")) {
            return new Assets(content(assets, name + ".tflite"), Metadata.read(properties, labels));
        }
    }

    /** Returns the content of the file, in a direct buffer. */
    public ByteBuffer model() {
        return model.duplicate();
    }

    /** Returns what the files beside it say. */
    public Metadata metadata() {
        return metadata;
    }

    private static Reader reader(AssetManager assets, String path) throws IOException {
        return new InputStreamReader(assets.open(path), StandardCharsets.UTF_8);
    }

    private static ByteBuffer content(AssetManager assets, String path) throws IOException {
        ByteArrayOutputStream content = new ByteArrayOutputStream();
        byte[] part = new byte[1 << 16];
        try (InputStream stream = assets.open(path)) {
            for (int n = stream.read(part); n >= 0; n = stream.read(part)) {
                content.write(part, 0, n);
            }
        }
        ByteBuffer model = ByteBuffer.allocateDirect(content.size()).order(ByteOrder.nativeOrder());
        model.put(content.toByteArray());
        model.flip();
        return model;
    }
}
