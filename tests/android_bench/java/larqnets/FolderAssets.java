package larqnets;

import android.content.res.AssetManager;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;

/** Assets that lie in a folder. */
final class FolderAssets extends AssetManager {
    private final Path folder;

    FolderAssets(String folder) {
        this.folder = Paths.get(folder);
    }

    @Override
    public InputStream open(String fileName) throws IOException {
        return Files.newInputStream(folder.resolve(fileName));
    }
}
